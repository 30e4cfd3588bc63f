"""The theory lab: what five papers claim, measured on exact tabular problems. Run: python -m benchmark theory"""
