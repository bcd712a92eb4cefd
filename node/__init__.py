"""The Interaction Server: a pair of members over one database.

``core`` decides, ``pair`` says who may, ``store`` keeps; ``member`` is the loop around them. Nothing here imports
``proxy``.
"""
