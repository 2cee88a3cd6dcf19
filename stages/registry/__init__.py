"""Versions of the registered model: what they hold, what is known of them, which is champion."""
