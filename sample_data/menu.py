"""What the restaurants sell, and the options that go with it. Prices are whole cents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.randomness import Floats, Integers


@dataclass(frozen=True)
class Item:
    category: str
    name: str
    price: int
    weight: float
    group: int  # of options


@dataclass(frozen=True)
class Option:
    group: int
    group_name: str
    name: str
    price: int
    weight: float


_SANDWICH, _SALAD, _COFFEE, _NONE = range(4)
ITEMS = (
    Item("Subs", "Italian Sub", 1195, 9.0, _SANDWICH),
    Item("Subs", "Italian Sub (large)", 1595, 4.0, _SANDWICH),
    Item("Subs", "Turkey & Cheddar Sub", 1095, 7.5, _SANDWICH),
    Item("Subs", 'The "Works" Sub', 1395, 6.0, _SANDWICH),
    Item("Subs", "Veggie Sub", 950, 4.0, _SANDWICH),
    Item("Pizza", "Margherita", 1250, 6.0, _SANDWICH),
    Item("Pizza", "Pepperoni", 1450, 7.0, _SANDWICH),
    Item("Pizza", "Four Cheese", 1550, 3.0, _SANDWICH),
    Item("Salads", "Salad, Greek", 1050, 3.5, _SALAD),
    Item("Salads", "Caesar Salad", 995, 4.0, _SALAD),
    Item("Salads", "Chicken Cobb", 1250, 2.5, _SALAD),
    Item("Sides", "Fries", 395, 9.0, _NONE),
    Item("Sides", "Onion Rings", 475, 4.0, _NONE),
    Item("Sides", "Soup of the Day", 550, 3.0, _NONE),
    Item("Breakfast", "Egg & Cheese Bagel", 650, 4.0, _SANDWICH),
    Item("Breakfast", "Pancakes", 850, 2.5, _NONE),
    Item("Drinks", "Espresso", 295, 3.5, _COFFEE),
    Item("Drinks", "Caffè Latte", 475, 5.0, _COFFEE),
    Item("Drinks", "Cappuccino", 450, 3.5, _COFFEE),
    Item("Drinks", "Lemonade", 325, 5.0, _NONE),
    Item("Drinks", "Sparkling Water", 275, 4.0, _NONE),
    Item("Desserts", "Brownie", 350, 3.0, _NONE),
    Item("Desserts", "Cheesecake", 595, 2.0, _NONE),
    Item("Extras", "Paper Bag", 10, 1.0, _NONE),
    Item("Extras", "Free Cookie", 0, 0.8, _NONE),
)
OPTIONS = (
    Option(_SANDWICH, "Bread", "White", 0, 5.0),
    Option(_SANDWICH, "Bread", "Whole Wheat", 0, 3.0),
    Option(_SANDWICH, "Bread", "Gluten Free", 200, 1.0),
    Option(_SANDWICH, "Extras", "Extra Cheese", 125, 3.0),
    Option(_SANDWICH, "Extras", "Bacon", 195, 2.0),
    Option(_SANDWICH, "Remove", "No Onion", 0, 2.5),
    Option(_SANDWICH, "Remove", "No Tomato", 0, 1.5),
    Option(_SALAD, "Dressing", "Ranch", 0, 3.0),
    Option(_SALAD, "Dressing", "Oil, Vinegar", 0, 2.0),
    Option(_SALAD, "Protein", "Grilled Chicken", 350, 2.0),
    Option(_SALAD, "Protein", "Tofu", 275, 1.0),
    Option(_COFFEE, "Milk", "Oat Milk", 75, 2.0),
    Option(_COFFEE, "Milk", "Whole Milk", 0, 3.0),
    Option(_COFFEE, "Shots", "Espresso Shot", 95, 2.0),
    Option(_COFFEE, "Syrup", "Vanilla", 65, 1.5),
    Option(_NONE, "Promotion", "Loyalty Reward", 0, 0.0),
    Option(_NONE, "Promotion", "App Coupon", 0, 0.0),
)
SHOT = next(n for n, option in enumerate(OPTIONS) if option.name == "Espresso Shot")
REWARD = next(n for n, option in enumerate(OPTIONS) if option.name == "Loyalty Reward")
COUPON = REWARD + 1
COFFEE_GROUP, NO_GROUP = _COFFEE, _NONE


def option_table() -> tuple[Integers, Floats]:
    """Where each group's options start in `OPTIONS`, and one cumulative share per option.

    Option `n` of group `g` is drawn by searching `g + u` (u uniform in [0, 1)) in the cumulative shares.
    """
    groups = np.array([option.group for option in OPTIONS[:REWARD]])
    weights = np.array([option.weight for option in OPTIONS[:REWARD]])
    starts = np.searchsorted(groups, np.arange(NO_GROUP))
    totals = np.add.reduceat(weights, starts)
    before = np.concatenate([[0.0], np.cumsum(totals)[:-1]])
    shares = (np.cumsum(weights) - before[groups]) / totals[groups]
    return starts.astype(np.int64), np.asarray(groups + shares)


def day_part_weights() -> Floats:
    """Relative sales of each item by local hour. Shape (24, items)."""
    hour = np.arange(24)
    morning = np.where((hour >= 5) & (hour < 11), 4.0, 0.25)
    coffee = np.where((hour >= 5) & (hour < 11), 4.0, np.where((hour >= 14) & (hour < 17), 2.0, 0.7))
    by_category = {
        "Breakfast": morning,
        "Subs": np.where(hour < 10, 0.3, 1.2),
        "Pizza": np.where(hour < 10, 0.1, 1.1),
    }
    columns = [
        item.weight * (coffee if item.group == _COFFEE else by_category.get(item.category, np.ones(24)))
        for item in ITEMS
    ]
    return np.stack(columns, axis=1)
