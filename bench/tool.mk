# benchmarks of src/tool
