# tests of src/line
