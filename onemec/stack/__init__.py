"""The whole stack on one machine: its parts, who starts and stops them, what they tell, whether all data arrived."""
