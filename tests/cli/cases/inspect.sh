eckart inspect model
