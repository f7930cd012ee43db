"""What stands beside the integration: documents, blueprints, the collection of calls."""
