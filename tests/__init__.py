"""A package of its own: another one of this name, installed beside it, would come before."""
