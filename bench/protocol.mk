# benchmarks of src/protocol
