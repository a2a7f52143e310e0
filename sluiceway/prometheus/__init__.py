"""What is the same for everything that gives metrics to Prometheus: names, and the store of what a scrape shows."""
