"""What a document is once it has been read: blocks, passages, files. No other folder's words."""
