# benchmarks of src/store
