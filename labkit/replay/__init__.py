"""Replays: a lab's answers, recorded from a live one, given again where no machine can boot."""
