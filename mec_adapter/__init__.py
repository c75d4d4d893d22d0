"""The edge CSE as a MEC platform sees it, and the MEC platform as the CSE sees it."""
