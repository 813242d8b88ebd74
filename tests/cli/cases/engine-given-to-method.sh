eckart plan model --method golub-kahan
