"""The scenarios of the study of annotation budgets, listed so that one that wasn't published is told as missing."""

COUNTED = {
    "CLINC150 and its variants": (
        "umc_clinc150",
        "umc_clinc150_long_tail",
        "umc_clinc150_junk",
        "umc_clinc150_near_duplicates",
        "umc_clinc150_drift",
        "umc_clinc150_new_domain",
        "umc_clinc150_unreliable",
    ),
    "others": (
        "umc_mixed_text",
        "umc_mixed_text_balanced",
        "umc_mixed_text_long_tail",
        "umc_mixed_text_junk",
        "umc_mixed_text_near_duplicates",
        "umc_text_image",
        "umc_text_image_balanced",
        "umc_text_image_long_tail",
        "umc_text_image_junk",
        "umc_text_image_near_duplicates",
        "umc_digits",
        "umc_digits_long_tail",
        "umc_digits_junk",
        "umc_digits_near_duplicates",
        "umc_digits_crowd",
    ),
}
"""Whose savings are averaged."""
CONTROLS = ("umc_pacs", "umc_pacs_balanced", "umc_pacs_long_tail", "umc_pacs_near_duplicates", "umc_pacs_junk")
"""Reported, not counted: pixel features are what limits accuracy there."""
PLAIN = ("umc_clinc150_plain_weights", "umc_clinc150_long_tail_plain_weights")
"""Reported, not counted: what the learner's class weights change."""
SCENARIOS = (*COUNTED["CLINC150 and its variants"], *COUNTED["others"], *CONTROLS, *PLAIN)
FINE_TUNED = {"umc_mixed_text": 3}
"""Scenario → seeds in which a transformer is fine-tuned, by default: on a CPU it takes as long as all the rest."""
ABLATED = ("umc_clinc150", "umc_clinc150_junk", "umc_mixed_text", "umc_mixed_text_junk", "umc_digits")
"""Where one thing of UMC is changed at a time, and fixed arms are pulled."""
