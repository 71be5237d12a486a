"""The tools: they return data, and only `cli` prints. They need the extra `lab`."""
