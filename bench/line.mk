# benchmarks of src/line
