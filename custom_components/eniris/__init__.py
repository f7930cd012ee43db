"""Eniris SmartgridOne."""
