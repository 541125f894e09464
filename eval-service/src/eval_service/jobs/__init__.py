"""What job processes do. Started by the worker, one process a job; nothing else imports this."""
