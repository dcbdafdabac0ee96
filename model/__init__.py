"""Images and scores: artifacts, engines, preprocessing. Imports nothing of ours."""
