"""The topics of the platform, one for each stream of facts."""

DOCUMENTS = "sixfold.documents"
REQUESTS = "sixfold.requests"
FEEDBACK = "sixfold.feedback"
JOBS = "sixfold.jobs"
RELEASES = "sixfold.releases"
