"""Events on their way out: kept in files by one write each, published in the background.

    $SIXFOLD_HOME/spool/<worker>/lock                 held for as long as the worker lives
    $SIXFOLD_HOME/spool/<worker>/000000000001.seg     frames, one an event

A segment is deleted when the bus has its events and the record store its requests, for their lineage.

What a dead worker left is taken over by a living one. An event may be published twice, with one id, when a
process dies between publishing a segment and deleting it; it is never lost once `Journal.add` returned, but
to a power cut before the next `fsync` (SIXFOLD_GATEWAY_SPOOL_FSYNC), or when the spool is full, which is
counted.
"""
