eckart --help
