"""Vector stores as the gateway knows them: what they hold, how they are searched, who may."""
