"""How the application meets the network: listening, the HTTP edge, workers, the graceful stop."""
