"""What is kept on the disk: files that appear whole, run folders, the machine's description."""
