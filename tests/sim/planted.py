from contextlib import nullcontext
PLANTED = {}
def planted(name):
    return nullcontext()
