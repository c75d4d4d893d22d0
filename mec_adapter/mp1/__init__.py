"""The Mp1 reference point as a MEC application sees it: endpoint tables, data types and a client."""
