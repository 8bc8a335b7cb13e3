"""What a spec means by what is installed: names found, options bound and checked. Nothing is built."""
