"""The product broken on purpose: every fault is a small script that counts what was lost, wrong or unclear."""
