import fc from "fast-check";

// One seed for every run: a property that fails once fails again.
fc.configureGlobal({ seed: 20_260_101 });

export { fc };
