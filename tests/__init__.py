"""One test file per module, same name; what several of them need stands in `builders`."""
