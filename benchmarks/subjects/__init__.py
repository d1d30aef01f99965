"""What is measured. Each module runs in a fresh process and knows nothing of the others."""
