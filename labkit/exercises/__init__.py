"""Predict, check, hint: what the notebooks ask of a learner, and how the live lab answers.

What the single notebooks ask is in ``labkit.lessons``; here is what that is made of.
"""

from labkit.exercises.claim import ClaimFailed, claim
from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Answer, Probe, State
from labkit.exercises.verdict import Kind, Unmet, Verdict, correct, missing, not_yet

__all__ = [
    "Answer",
    "ClaimFailed",
    "Exercise",
    "Kind",
    "Prediction",
    "Probe",
    "Progress",
    "State",
    "Unmet",
    "Verdict",
    "claim",
    "correct",
    "missing",
    "not_yet",
]
