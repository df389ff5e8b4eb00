# tests of src/protocol
