"""Explanations, scores, judged examples, pins, audits, collections, replies of language models and jobs of a store:
`annotations.sqlite`."""

from autointerp.store.annotations.annotations import Annotations
from autointerp.store.annotations.audits import MIXED, AuditHead, AuditTable, RatingConflict
from autointerp.store.annotations.collections import STARRED, Collection, CollectionTable, Member
from autointerp.store.annotations.jobs.queue import SILENT_SECONDS
from autointerp.store.annotations.jobs.records import (
    CANCELLED,
    Cause,
    Claim,
    Job,
    JobItem,
    JobState,
    NewJob,
    Outcome,
    new_owner,
)
from autointerp.store.annotations.jobs.table import ClaimLost, JobTable
from autointerp.store.annotations.replies import Replies
from autointerp.store.annotations.shown_rule import NEWEST

__all__ = [
    "CANCELLED",
    "MIXED",
    "NEWEST",
    "SILENT_SECONDS",
    "STARRED",
    "Annotations",
    "AuditHead",
    "AuditTable",
    "Cause",
    "Claim",
    "ClaimLost",
    "Collection",
    "CollectionTable",
    "Job",
    "JobItem",
    "JobState",
    "JobTable",
    "Member",
    "NewJob",
    "Outcome",
    "RatingConflict",
    "Replies",
    "new_owner",
]
