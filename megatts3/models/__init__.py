"""Networks: tensors in, tensors out. No file is read here, no noise drawn, no time stepped through."""
