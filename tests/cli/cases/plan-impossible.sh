eckart plan model --size 1KiB
