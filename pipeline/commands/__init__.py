"""The commands of gan that look after a checkout: one module each."""
