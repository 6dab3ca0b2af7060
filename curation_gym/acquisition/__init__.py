"""Which samples of a pool are asked about next: pure functions on arrays that return positions, best first."""

from curation_gym.acquisition.badge import badge
from curation_gym.acquisition.clustering import dbscan, kmeans
from curation_gym.acquisition.coreset import coreset, distance_to_labelled
from curation_gym.acquisition.density import typicality
from curation_gym.acquisition.diverse import clustered, diverse
from curation_gym.acquisition.top import CRITERIA, best, passes
from curation_gym.acquisition.typiclust import typiclust

__all__ = [
    "CRITERIA",
    "badge",
    "best",
    "clustered",
    "coreset",
    "dbscan",
    "distance_to_labelled",
    "diverse",
    "kmeans",
    "passes",
    "typicality",
    "typiclust",
]
