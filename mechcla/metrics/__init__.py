"""Transfer, localization, English bias and the plane, each with an interval and its n."""
