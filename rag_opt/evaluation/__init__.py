"""Evaluation: a pipeline asked a list of questions, its scores, and what may honestly be concluded from them."""
