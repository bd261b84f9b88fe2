"""Replacements for the functions of `rerun_bindings`: each module registers those of one subject when it is loaded."""
