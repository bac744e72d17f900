"""What measuring pictures costs on a CPU, beside torch-fidelity: `make bench-metrics`.

Both read the same two folders of PNG files, pass them through the same network with the same weights, and give FID, IS,
KID, precision and recall. Each side of a turn is a process of its own, and the sides take turns at beginning.
"""
