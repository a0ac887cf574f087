"""tapered: learning rates that decay dependably, and evidence on whether they should."""
