"""Payments: orders are placed with gateways, what gateways say is settled, compared with their books and paid back."""
