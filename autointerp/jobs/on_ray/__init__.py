"""Batches of explaining and scoring on a Ray cluster.

    job's process (`workers`, `desk`)                    a worker (`worker`, `line`)
    claims the job, hands out items, commits each   -->  runs the item as one process would, against the store's files
    answers what workers ask: annotations, floors,  <--  asks and tells, and asks its own server
    replies, the budget

The job's process alone reads and writes SQLite, so that file need not be shared, and what holds for a job in one process
holds here: its place in the queue, its budget, its replies, its end. A worker that dies is started again, and its items are
done again.
"""
