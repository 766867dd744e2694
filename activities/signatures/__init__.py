"""What workflows may call: abstract activities, light to import."""
