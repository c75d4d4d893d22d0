"""Every line of shell and Python in the documents is run: README.md and docs/**/*.md (docs/README.md says how)."""
