"""The oneM2M CSE: vocabulary, resource types, hosting-CSE procedures, bindings and storage."""
