"""What every other package needs: configuration, errors, files, tables, Git and DVC.

Nothing here belongs to images, boxes or models, and nothing here imports another package of the pipeline.
"""
