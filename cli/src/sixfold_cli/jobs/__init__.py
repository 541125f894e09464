"""Jobs as the command line shows them: training, eval runs, batches, data sets, releases."""
